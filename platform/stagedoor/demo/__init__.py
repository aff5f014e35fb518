"""The demo: real models from scikit-learn's own datasets, trained and registered in seconds, without a download."""
