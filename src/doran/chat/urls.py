"""Chat's paths for Django."""

from doran.chat.http import ROUTES
from doran.kernel.http import urls

urlpatterns = urls(ROUTES)
