"""The corpus that a repository keeps: for each target the small inputs that reach something that no others reach.

Owns how much is kept. Whoever mends a finding puts its input there by hand.
"""

import shutil
from hashlib import sha256
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 24_000
"""Of one target's files that a run adds to its corpus, the smallest of those it found."""
MOST_FILES: Final = 80


def grow(corpus: Path, found: Path) -> int:
    """Add to a target's corpus what a run found, the smallest first; give how many files were added."""
    corpus.mkdir(parents=True, exist_ok=True)
    kept = [path.stat().st_size for path in corpus.glob("*")]
    count, size_bytes = len(kept), sum(kept)
    added = 0
    for path in sorted(found.glob("*"), key=lambda path: (path.stat().st_size, path.name)):
        size = path.stat().st_size
        name = corpus / sha256(path.read_bytes()).hexdigest()[:16]
        if name.exists():
            continue
        if count + added >= MOST_FILES or size_bytes + size > MOST_BYTES:
            break
        shutil.copyfile(path, name)
        size_bytes += size
        added += 1
    return added
