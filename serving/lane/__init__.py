"""The quick way in: predictions answered straight from ASGI, everything else handed to Flask."""
