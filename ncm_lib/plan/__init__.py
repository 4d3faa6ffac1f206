"""What is to be made: classes, prompts, samples."""
