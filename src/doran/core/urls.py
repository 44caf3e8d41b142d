"""Core's paths."""

from doran.core.http import ROUTES
from doran.kernel.http import urls

urlpatterns = urls(ROUTES)
