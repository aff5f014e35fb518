"""The versions of one gateway worker."""

from serving.pool.pool import Pool
from serving.pool.view import LiveModel, View

__all__ = ["LiveModel", "Pool", "View"]
