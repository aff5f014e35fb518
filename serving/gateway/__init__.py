"""The Flask app around the plane. Everything here can be reached without the lane; nothing here decides who serves what."""
