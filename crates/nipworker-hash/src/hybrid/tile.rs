//! The loop of a tile.

use std::arch::naked_asm;
use std::mem::offset_of;

use crate::block::Schedule;
use crate::midstates::{GROUP, Group};

/// Attempts that the SHA unit makes at a time.
const SIX: usize = 6;
/// Attempts of a tile that the SHA unit makes.
pub(super) const TWELVE: usize = 2 * SIX;
/// Two halves of a state, as `sha256rnds2` takes them: F, E, B, A and H, G, D, C.
pub(super) type Halves = [[u32; 4]; 2];

/// First words of the digests of a tile.
#[repr(C, align(64))]
pub(super) struct Words {
    pub(super) groups: [[u32; GROUP]; 2],
    /// F, E, B, A of each; only A is whole.
    pub(super) twelve: [[u32; 4]; TWELVE],
}

/// What [`run`] is to do: one tile.
#[repr(C)]
pub(super) struct Task<'a> {
    /// The states of the two groups after the hoisted rounds.
    pub(super) start: &'a [Group; 2],
    /// The midstates themselves.
    pub(super) feed: &'a [Group; 2],
    /// The same for the SHA unit; 64-byte aligned. The halves have changed places
    /// if an odd number of steps is to follow.
    pub(super) start_twelve: &'a [Halves; TWELVE],
    pub(super) feed_twelve: &'a [Halves; TWELVE],
    /// The scheduled words of the first block behind the hoisted rounds, an even number.
    pub(super) first: *const u32,
    /// The end of that block's schedule.
    pub(super) end: *const u32,
    /// The blocks behind it.
    pub(super) tail: *const Schedule,
    pub(super) blocks: usize,
    /// Where the first words of the digests go.
    pub(super) words: *mut Words,
    pub(super) limit: u32,
}

/// One round of a group, with three instructions for the six woven in.
///
/// A group has only six registers for its state: there are sixteen, and two groups. d and h come
/// from rings of the last four values of a (at `$ring`) and e (256 bytes on), where the new a and e
/// take their place. `vpternlogd` overwrites one of its operands: that is c or g, since they are
/// not needed again. The new a and e take the place of b and f, which move to c and g; a move
/// between registers takes no port.
#[rustfmt::skip]
macro_rules! round {
    ($a:literal $b:literal $c:literal $e:literal $f:literal $g:literal,
     $ring:literal, $word:literal, $x:expr, $y:expr, $z:expr) => {
        concat!(
            "vmovdqa32 zmm28, [rbx + 256 + ", $ring, "]\n",
            "vpaddd zmm28, zmm28, dword ptr [rdx + ", $word, "]{{1to16}}\n",
            "vprord zmm29, zmm", $e, ", 6\n",
            "vprord zmm30, zmm", $e, ", 11\n",
            "vprord zmm31, zmm", $e, ", 25\n",
            "vpternlogd zmm29, zmm30, zmm31, 0x96\n",
            $x,
            "vpternlogd zmm", $g, ", zmm", $e, ", zmm", $f, ", 0xb8\n",
            "vpaddd zmm28, zmm28, zmm", $g, "\n",
            "vpaddd zmm28, zmm28, zmm29\n",
            "vmovdqa32 zmm", $g, ", zmm", $f, "\n",
            "vpaddd zmm", $f, ", zmm28, [rbx + ", $ring, "]\n",
            "vmovdqa32 [rbx + 256 + ", $ring, "], zmm", $f, "\n",
            $y,
            "vprord zmm29, zmm", $a, ", 2\n",
            "vprord zmm30, zmm", $a, ", 13\n",
            "vprord zmm31, zmm", $a, ", 22\n",
            "vpternlogd zmm29, zmm30, zmm31, 0x96\n",
            "vpternlogd zmm", $c, ", zmm", $b, ", zmm", $a, ", 0xe8\n",
            "vpaddd zmm28, zmm28, zmm", $c, "\n",
            "vmovdqa32 zmm", $c, ", zmm", $b, "\n",
            $z,
            "vpaddd zmm", $b, ", zmm28, zmm29\n",
            "vmovdqa32 [rbx + ", $ring, "], zmm", $b, "\n",
        )
    };
}

/// Loads the scheduled words of two rounds for the six.
macro_rules! two_words {
    ($at:literal) => {
        concat!("vmovq xmm0, qword ptr [rcx + ", $at, "]\n")
    };
}

/// Two rounds of one of the six: afterwards the halves have changed places.
macro_rules! two_rounds {
    ($old:literal $new:literal) => {
        concat!("sha256rnds2 xmm", $old, ", xmm", $new, "\n")
    };
}

/// `$name` register, [base + offset] for several registers.
macro_rules! load {
    ($name:literal, $kind:literal, $base:literal, $($register:literal $offset:literal)*) => {
        concat!($($name, " ", $kind, $register, ", [", $base, " + ", $offset, "]\n",)*)
    };
}

/// `$name` register, register, [base + offset] for several registers.
macro_rules! each {
    ($name:literal, $kind:literal, $base:literal, $($register:literal $offset:literal)*) => {
        concat!($(
            $name, " ", $kind, $register, ", ", $kind, $register, ", [", $base, " + ", $offset, "]\n",
        )*)
    };
}

/// `$name` [base + offset], register for several registers.
macro_rules! store {
    ($name:literal, $kind:literal, $base:literal, $($register:literal $offset:literal)*) => {
        concat!($($name, " [", $base, " + ", $offset, "], ", $kind, $register, "\n",)*)
    };
}

/// Makes the attempts of one tile and stores the first words of their digests. Returns zero if
/// none of them is at most the limit.
///
/// # Safety
///
/// The processor has AVX-512 Foundation, SHA and SSE4.1; the pointers of the task are valid, and
/// the numbers are as it says.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn run(task: &Task<'_>) -> u32 {
    // rdi: task. rdx, rcx: scheduled words of the groups and of the six; r15, r11: their begin and
    // end. r13, r14: states that the block begins with; rsi, r8: those that its end adds. r9: next
    // block of the tail; r10: blocks left. r12: 0 or 192, which six of the twelve. rbx: the slots
    // of the rings that are next, 0 or 128 bytes from their begin.
    //
    // Stack: from 0 the rings of the two groups, 512 bytes each; from 1024 the states of the
    // groups, from 2048 those of the twelve, between blocks.
    //
    // a, b, e, f, c, g of the groups are in zmm16..zmm19, zmm24, zmm25 and zmm20..zmm23, zmm26,
    // zmm27; the state of the six in xmm1..xmm12, the least first words so far in xmm13. The
    // convention leaves all of them to the callee.
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "and rsp, -256",
        "sub rsp, 2560",
        // Legacy encodings are slow while an upper part is in use.
        "vzeroupper",
        "mov r13, [rdi + {start}]",
        "mov r14, [rdi + {start_twelve}]",
        "mov rsi, [rdi + {feed}]",
        "mov r8, [rdi + {feed_twelve}]",
        "mov r15, [rdi + {first}]",
        "mov r11, [rdi + {end}]",
        "mov r9, [rdi + {tail}]",
        "mov r10, [rdi + {blocks}]",
        "pcmpeqd xmm13, xmm13",
        // A block's begin: the rings want d, c, b, a and h, g, f, e.
        "20:",
        load!("vmovdqa32", "zmm", "r13", 16 0 17 64 24 128 28 192 18 256 19 320 25 384 29 448),
        load!("vmovdqa32", "zmm", "r13",
            20 512 21 576 26 640 30 704 22 768 23 832 27 896 31 960),
        store!("vmovdqa32", "zmm", "rsp", 28 0 24 64 17 128 16 192 29 256 25 320 19 384 18 448),
        store!("vmovdqa32", "zmm", "rsp",
            30 512 26 576 21 640 20 704 31 768 27 832 23 896 22 960),
        "mov rbx, rsp",
        "mov rdx, r15",
        "xor r12d, r12d",
        // The begin of six of the twelve. The loop does two steps of them; if their number is odd,
        // which the address tells, one stands alone: for the first six beside two rounds of the
        // groups.
        "21:",
        "mov rcx, r15",
        load!("movdqa", "xmm", "r14 + r12",
            1 0 2 16 3 32 4 48 5 64 6 80 7 96 8 112 9 128 10 144 11 160 12 176),
        "test r15b, 8",
        "jz 23f",
        two_words!(0),
        "add rcx, 8",
        two_rounds!(1 2), two_rounds!(3 4), two_rounds!(5 6),
        two_rounds!(7 8), two_rounds!(9 10), two_rounds!(11 12),
        "test r12, r12",
        "jnz 23f",
        round!(16 17 24 18 19 25, 0, 0, "", "", ""),
        round!(20 21 26 22 23 27, 512, 0, "", "", ""),
        round!(17 16 24 19 18 25, 64, 4, "", "", ""),
        round!(21 20 26 23 22 27, 576, 4, "", "", ""),
        "add rdx, 8",
        "xor rbx, 128",
        ".p2align 5",
        "23:",
        two_words!(0),
        round!(16 17 24 18 19 25, 0, 0,
            two_rounds!(2 1), two_rounds!(4 3), two_rounds!(6 5)),
        round!(20 21 26 22 23 27, 512, 0,
            two_rounds!(8 7), two_rounds!(10 9), two_rounds!(12 11)),
        two_words!(8),
        round!(17 16 24 19 18 25, 64, 4,
            two_rounds!(1 2), two_rounds!(3 4), two_rounds!(5 6)),
        round!(21 20 26 23 22 27, 576, 4,
            two_rounds!(7 8), two_rounds!(9 10), two_rounds!(11 12)),
        "add rdx, 8",
        "xor rbx, 128",
        "add rcx, 16",
        "cmp rcx, r11",
        "jne 23b",
        "test r10, r10",
        "jz 24f",
        // The six's end of a block that is not the last.
        load!("paddd", "xmm", "r8 + r12",
            1 0 2 16 3 32 4 48 5 64 6 80 7 96 8 112 9 128 10 144 11 160 12 176),
        store!("movdqa", "xmm", "rsp + r12 + 2048",
            1 0 2 16 3 32 4 48 5 64 6 80 7 96 8 112 9 128 10 144 11 160 12 176),
        "test r12, r12",
        "mov r12d, 192",
        "jz 21b",
        // The groups' end of it.
        load!("vmovdqa32", "zmm", "rbx", 28 0 29 256 30 512 31 768),
        each!("vpaddd", "zmm", "rsi",
            16 0 17 64 24 128 28 192 18 256 19 320 25 384 29 448
            20 512 21 576 26 640 30 704 22 768 23 832 27 896 31 960),
        store!("vmovdqa32", "zmm", "rsp + 1024",
            16 0 17 64 24 128 28 192 18 256 19 320 25 384 29 448
            20 512 21 576 26 640 30 704 22 768 23 832 27 896 31 960),
        "lea rsi, [rsp + 1024]",
        "mov r13, rsi",
        "lea r8, [rsp + 2048]",
        "mov r14, r8",
        "mov r15, r9",
        "add r9, {schedule}",
        "mov r11, r9",
        "dec r10",
        "jmp 20b",
        // The six's end of the last block: the first words are enough.
        "24:",
        load!("paddd", "xmm", "r8 + r12", 1 0 3 32 5 64 7 96 9 128 11 160),
        "mov rcx, r12",
        "shr rcx",
        "add rcx, [rdi + {words}]",
        store!("movdqa", "xmm", "rcx", 1 128 3 144 5 160 7 176 9 192 11 208),
        "pminud xmm1, xmm3",
        "pminud xmm5, xmm7",
        "pminud xmm9, xmm11",
        "pminud xmm1, xmm5",
        "pminud xmm13, xmm9",
        "pminud xmm13, xmm1",
        "test r12, r12",
        "mov r12d, 192",
        "jz 21b",
        // The groups' end of it.
        "vpaddd zmm16, zmm16, [rsi]",
        "vpaddd zmm20, zmm20, [rsi + 512]",
        "mov rcx, [rdi + {words}]",
        "vmovdqa32 [rcx], zmm16",
        "vmovdqa32 [rcx + 64], zmm20",
        "vpminud zmm16, zmm16, zmm20",
        "vpcmpud k1, zmm16, dword ptr [rdi + {limit}]{{1to16}}, 2",
        "pextrd ecx, xmm13, 3",
        "xor edx, edx",
        "cmp ecx, [rdi + {limit}]",
        "setbe dl",
        "kmovw eax, k1",
        "or eax, edx",
        "lea rsp, [rbp - 40]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        start = const offset_of!(Task<'static>, start),
        feed = const offset_of!(Task<'static>, feed),
        start_twelve = const offset_of!(Task<'static>, start_twelve),
        feed_twelve = const offset_of!(Task<'static>, feed_twelve),
        first = const offset_of!(Task<'static>, first),
        end = const offset_of!(Task<'static>, end),
        tail = const offset_of!(Task<'static>, tail),
        blocks = const offset_of!(Task<'static>, blocks),
        words = const offset_of!(Task<'static>, words),
        limit = const offset_of!(Task<'static>, limit),
        schedule = const size_of::<Schedule>(),
    )
}
