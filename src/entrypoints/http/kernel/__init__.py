"""HTTP for every service: routes, the OpenAPI document, the server, identity, the kernel's API."""
