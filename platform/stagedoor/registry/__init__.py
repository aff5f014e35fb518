"""The Registry port, its MLflow adapter and its in-memory twin."""
