"""The HTTP edge of the query service: see api.app for how it is put together."""

import warnings

# connexion imports starlette's test client, which warns about the HTTP library it would use. Nobody who serves uses it.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`", category=UserWarning)
