"""Several files in one string of bytes, so that a fuzzer may mutate them together: NAME, a newline, the content."""

import io
import zipfile

import numpy as np

_END = b"\n\x1e\x1e\n"


def join(files):
    """Returns the bytes of {name: content}, which hold no end mark."""
    return _END.join(name.encode() + b"\n" + content for name, content in files.items())


def split(data, known):
    """Returns {name: content} of those pieces whose names are known, the last of a name."""
    pieces = [piece.partition(b"\n")[::2] for piece in data.split(_END)]
    return {
        name.decode("ascii", "replace"): content for name, content in pieces if name.decode("ascii", "replace") in known
    }


def write(folder, files):
    """Writes {name: content} into a folder, from which everything else is taken away."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def npy(array):
    """Returns the bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npz(files):
    """Returns the bytes of an .npz file whose members are {name: content of an .npy file}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()
