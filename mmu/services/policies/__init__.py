"""Balloon policies: how much memory the balloon of each VM should hold. One file each, or yours.

fixed     what the scenario says, and its events
esx       VMware ESX Server: what each VM may hold follows from shares, reservations, limits
          and how much of its memory it uses, when the host is short
esxi      the same with the thresholds of vSphere 6 and later
proxmox   Proxmox VE: a part of the host's memory is meant to be used, by shares
NAME.py   the `Policy` of a Python file
"""
