"""A console with this service in it: `python -m entrypoints.shell`."""

from entrypoints.container import Container
from entrypoints.kernel.settings import load_settings
from entrypoints.kernel.tools.shell import main
from entrypoints.settings import Settings

if __name__ == "__main__":
    main(Container(settings=load_settings(Settings)))
