"""ai's paths, for a process that runs ai alone."""

from doran.ai.http import ROUTES
from doran.kernel.http import urls

urlpatterns = urls(ROUTES)
