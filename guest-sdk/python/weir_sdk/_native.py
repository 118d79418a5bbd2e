"""Outside of a component, the generated stubs take the place of the bindings.

In a component `wit_world` is made by componentize-py and found first; elsewhere (tests, editors,
finding out which hooks a policy has) it is the copy beside this file, which `weir_sdk.testing` brings to life.
"""

import importlib.util
import os
import sys

IN_COMPONENT = importlib.util.find_spec("wit_world") is not None

if not IN_COMPONENT:
    sys.path.append(os.path.join(os.path.dirname(__file__), "_bindings"))
