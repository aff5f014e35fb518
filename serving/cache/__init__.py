"""The response cache: answers of versions whose model asks for it by the tag `stagedoor.cache`."""

from serving.cache.question import Question, Source, question, rights_of
from serving.cache.responses import Abandoned, Flight, Lead, ResponseCache

__all__ = ["Abandoned", "Flight", "Lead", "Question", "ResponseCache", "Source", "question", "rights_of"]
