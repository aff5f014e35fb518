"""The control plane: guards what the registry asks for."""
