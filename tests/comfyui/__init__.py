"""Tests against a real ComfyUI, which has an environment of its own; nothing here imports it."""
