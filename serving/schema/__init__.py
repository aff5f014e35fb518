"""Signature enforcement as MLflow defines it, compiled once per version instead of a DataFrame per request."""

from serving.schema.signature import Signature, compile_signature

__all__ = ["Signature", "compile_signature"]
