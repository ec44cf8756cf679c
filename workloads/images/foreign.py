"""What a file is that holds memory, or seems to, but not page after page: with the cure.

Read as they are, such files would give numbers that mean nothing: pages that are compressed,
or stand behind headers that shift them. Magic numbers are those of each program's source.
"""

from __future__ import annotations

from mmulab.workloads.packed import PACKED, Magic, by_magic

_KDUMP = "a compressed kdump; make an ELF core of it first (makedumpfile -E)"
_VIRSH = "restore the VM and make an ELF core (virsh dump --memory-only)"
_HIBERNATION = "a Windows hibernation file; make a raw image of it first (hibr2bin)"
_VMWARE = (
    "a VMware snapshot; give the .vmem file beside it, which is memory as it is, or make a core "
    "of it (vmss2core)"
)
_DISK = "a disk image, not memory; {} of the running VM makes an ELF core"

_KNOWN: tuple[Magic, ...] = (
    (0, b"KDUMP   ", _KDUMP),
    (0, b"DISKDUMP", _KDUMP),
    (0, b"makedumpfile\0", "a flattened kdump; put it together first (makedumpfile -R), then make "
                           "an ELF core of it (makedumpfile -E)"),
    (0, b"QEVM", "a QEMU snapshot or migration stream, in which pages stand behind headers; "
                 "make an ELF core of the running VM (dump-guest-memory of QEMU's monitor)"),
    (0, b"LibvirtQemudSave", f"a libvirt save; {_VIRSH}"),
    (0, b"LibvirtQemudPart", f"a libvirt save that was not finished; {_VIRSH}"),
    (0, b"AVML", "AVML's compressed format; make a LiME dump of it first (avml-convert)"),
    (0, b"\x7fVirtualBox SavedState", "a VirtualBox save; make an ELF core of the running VM "
                                      "(VBoxManage debugvm NAME dumpvmcore)"),
    *((0, magic, _VMWARE) for magic in (b"\xd0\xbe\xd2\xbe", b"\xd1\xba\xd1\xba",
                                        b"\xd2\xbe\xd2\xbe", b"\xd3\xbe\xd3\xbe")),
    *((0, magic, _HIBERNATION) for magic in (b"HIBR", b"hibr", b"RSTR", b"rstr", b"WAKE",
                                             b"wake")),
    (0, b"PAGEDUMP", "a Windows crash dump of 32 bits; make a raw image of it first (volatility "
                     "windows.layerwriter)"),
    (0, b"QFI\xfb", _DISK.format("virsh dump --memory-only")),
    (0, b"KDMV", _DISK.format("vmss2core")),
    (0, b"vhdxfile", _DISK.format("LiveKd")),
    (0, b"<<< ", _DISK.format("VBoxManage debugvm NAME dumpvmcore")),
    (0, b"MMULABTR", "a memory trace, not a memory image; see mmulab trace info"),
    (0, b"PK\x03\x04", "a .zip archive; unpack it and name one of the files in it"),
    *PACKED,
)  # fmt: skip


def known(head: bytes) -> str:
    """What a file that begins so is, and the cure; empty where it may be read."""
    return by_magic(head, _KNOWN)
