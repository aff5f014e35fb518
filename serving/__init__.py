"""The data plane: answers requests, and goes on answering when everything else is dead."""
