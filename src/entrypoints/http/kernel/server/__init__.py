"""The application and the layers around its routes."""
