"""The folder is a Python project (`ncm_lib`) and the home of its ComfyUI nodes; this module imports nothing."""
