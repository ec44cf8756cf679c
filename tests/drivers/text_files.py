"""Traces in text, a few lines of each format.

The lines are written here from each format's specification, which the format's file names.
"""

DIN = b"2 401020\n0 7ffe1000 ignored\n1 7ffe1008\n4 0\n3 10\n"
PIN = b"0x401020: R 0x7ffe1000\n0x401024: W   0x7ffe1008\n#eof\n"
COURSE = b"0041f7a0 R\n13f5e2c0 W\n# a comment\n0x7fff00000000 r\n"
DECIMAL = b"16916\n62493\n30198\n53683\n40185\n65537\n"
OSTEP = b"0\n1\n2\n0\n 7 \n"
QEMU = (
    b"insn_vaddr,insn_symbol,mem_vaddr,mem_hwaddr,access_size,access_type,mem_value\n"
    b"0x401020,main,0x7ffe1000,0x7ffe1000,64,load,0x0000000000000001\n"
    b"0x401024,,0x7ffe1008,0x7ffe1008,8,store,0x02\nmem accesses: 2\n"
)
DRVIEW = b"""Output format:
<--record#-> <--instr#->: <---tid---> <record details>
------------------------------------------------------------
           1           0:      77 <marker: version 3>
           2           0:      W0.T77 <marker: page size 4096>
           3           1:      W0.T77 ifetch       3 byte(s) @ 0x0000720d35a6a4d0 48 89 e7  mov
           4           1:      W0.T77 write        8 byte(s) @ 0x00007ffc3e1a8ff8 by PC 0x0000720d
           5           2:      W0.T78 read         8 byte(s) @ 0x00007ffc3e1a8ff0 by PC 0x0000720d
View tool results:
              2 : total instructions
"""
TABLE = b"tid;Addr;type;size;note;pid\n1;0x1000;load;8;x;5\n1;8192;W;4;;5\n2;0x3000;ifetch;2;y;5\n"
EXECLOG = (
    b'0, 0x401020, 0xe5894855, "pushq %rbp", store, 0x7ffe1000\n'
    b'1, 0x401021, 0xec, "addl %eax, (%rdi)", load, 0x10, store, 0x10, rax -> 0x7\n'
)
XDIN = b"i 401020 3\nr 0x7ffe1000 8 ignored\nv 0 0\nw 7ffe1008 4\n"
VPN = b"page,rw\n1,R\n2,W\n"

# Those that are columns are above; of the others, a few lines.
LACKEY = (
    b"==77== Lackey, an example Valgrind tool\nI  04001000,3\n S 1ffefff000,8\n"
    b" L 04222caf8,8\n M 0421c7f0,4\nSYSCALL[77,1](9) sys_mmap ( 0x0, 8192, 3, 34, -1, 0 ) "
    b"--> [pre-success] Success(0x4a29000) \n==77== \n"
)
PERFMEM = (
    b"# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL\n"
    b"  7   7 0x0000000000401136 0x00007f1234567890     6 0x5080142 /x:a\n"
    b"  7   8 0x0000000000401140 0x00007f1234567898     6 0x5080144 /x:b\n"
)
OPFIRST = b"s 0x2ffff050 1\nl 0x2ffff058 1\nLoad 10\nSTORE 0x18\nifetch abc 7 8\nM 20\n"
HEX = b"; a comment\n7FFE1000\n401abc\n0x1000, 0x2000\n"
SILBERSCHATZ = b"16916\n62493\n30198\n"
PERF = (
    b"sort  4242/4243 [001]   123.456789:          1 page-faults:     7f12a000 401020 main+0x10\n"
    b"two words 7 5.5:  cpu/mem-stores/P:  7ffe1000\n"
)
