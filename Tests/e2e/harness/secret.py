"""A Secret's volume as the kubelet keeps it: a directory of links, behind which everything changes at once."""

import os
import shutil


class SecretVolume:
    """`directory` is what a container mounts. The first `write` makes it."""

    def __init__(self, directory):
        self.directory = directory
        self._generation = 0

    def write(self, files):
        """Gives the volume these files, from names to bytes, as `defaultMode: 0444` has them."""
        self._generation += 1
        # As pkg/volume/util/atomic_writer.go does it: the files in a new directory, then one rename of a link to it.
        name = f"..generation-{self._generation}"
        generation = self.directory / name
        generation.mkdir(parents=True)
        for file, content in files.items():
            (generation / file).write_bytes(content)
            (generation / file).chmod(0o444)
        data = self.directory / "..data"
        previous = os.readlink(data) if data.is_symlink() else None
        link = self.directory / "..data_tmp"
        link.symlink_to(name)
        os.rename(link, data)
        for file in files:
            if not (self.directory / file).is_symlink():
                (self.directory / file).symlink_to(f"..data/{file}")
        if previous:
            shutil.rmtree(self.directory / previous)
