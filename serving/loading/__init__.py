"""From a folder of model files to a version that is warm: here, or first in a child process."""
