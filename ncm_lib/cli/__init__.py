"""The command ``ncm``: one thin file per sub-command."""
