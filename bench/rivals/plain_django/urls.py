"""No HTTP routes: the comparison is about sockets."""

urlpatterns: list = []
