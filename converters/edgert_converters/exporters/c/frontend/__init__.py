"""Audio front ends as generated C: sound in, the integers of the model's input out."""

from edgert_converters.exporters.c.frontend.beside import files_beside
from edgert_converters.exporters.c.frontend.export import export_frontend

__all__ = ["export_frontend", "files_beside"]
