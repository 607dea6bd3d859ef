"""The script that Streamlit runs for each look at the page; `sharpvae gallery` starts it."""

import sys
from pathlib import Path

from sharpvae.gallery.page import show

show(Path(), [Path(path) for path in sys.argv[1:]])
