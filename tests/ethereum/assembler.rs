//! An assembler of bytecode with names for stack entries.
//!
//! There are no jumps: the code runs from beginning to end.

// Opcodes, by their names in the yellow paper.
pub(crate) const ADD: u8 = 0x01;
pub(crate) const MUL: u8 = 0x02;
pub(crate) const MULMOD: u8 = 0x09;
pub(crate) const AND: u8 = 0x16;
pub(crate) const OR: u8 = 0x17;
pub(crate) const XOR: u8 = 0x18;
pub(crate) const SHL: u8 = 0x1b;
pub(crate) const SHR: u8 = 0x1c;
pub(crate) const CALLDATALOAD: u8 = 0x35;
pub(crate) const CALLDATACOPY: u8 = 0x37;
pub(crate) const STATICCALL: u8 = 0xfa;
const POP: u8 = 0x50;
const MLOAD: u8 = 0x51;
const MSTORE: u8 = 0x52;
const PUSH1: u8 = 0x60;
const DUP1: u8 = 0x80;
const SWAP1: u8 = 0x90;
const RETURN: u8 = 0xf3;

/// The name of a stack entry. Intermediate results have none.
type Name = Option<&'static str>;

/// Code under construction, with the stack after it has run.
#[derive(Default)]
pub(crate) struct Code {
    bytes: Vec<u8>,
    stack: Vec<Name>,
}

impl Code {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Names the top entry.
    pub(crate) fn name(&mut self, name: &'static str) -> &mut Self {
        if let Some(top) = self.stack.last_mut() {
            *top = Some(name);
        }
        self
    }

    /// Adds an opcode that takes some entries and leaves one.
    pub(crate) fn op(&mut self, op: u8, takes: usize) -> &mut Self {
        self.bytes.push(op);
        self.drop_entries(takes);
        self.stack.push(None);
        self
    }

    /// Pushes 1 to 32 bytes.
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.push(PUSH1 + bytes.len() as u8 - 1);
        self.bytes.extend_from_slice(bytes);
        self.stack.push(None);
        self
    }

    pub(crate) fn push(&mut self, number: u64) -> &mut Self {
        let bytes = number.to_be_bytes();
        let zeros = bytes.iter().take(7).take_while(|byte| **byte == 0).count();
        self.push_bytes(&bytes[zeros..])
    }

    /// Pushes a copy of the entry with that name.
    pub(crate) fn dup(&mut self, name: &'static str) -> &mut Self {
        self.bytes.push(DUP1 + self.depth(name));
        self.stack.push(None);
        self
    }

    /// Shifts the top entry by a constant.
    pub(crate) fn shift(&mut self, op: u8, bits: u64) -> &mut Self {
        self.push(bits).op(op, 2)
    }

    /// Replaces the entry with that name by the top entry.
    pub(crate) fn store(&mut self, name: &'static str) -> &mut Self {
        let depth = self.depth(name);
        self.bytes.extend([SWAP1 + depth - 1, POP]);
        self.drop_entries(1);
        self
    }

    /// Swaps the two top entries.
    pub(crate) fn swap(&mut self) -> &mut Self {
        self.bytes.push(SWAP1);
        let end = self.stack.len();
        self.stack.swap(end - 1, end - 2);
        self
    }

    pub(crate) fn pop(&mut self) -> &mut Self {
        self.bytes.push(POP);
        self.drop_entries(1);
        self
    }

    pub(crate) fn load(&mut self, address: u64) -> &mut Self {
        self.push(address).op(MLOAD, 1)
    }

    /// Stores the top entry in memory.
    pub(crate) fn save(&mut self, address: u64) -> &mut Self {
        self.push(address).bytes.push(MSTORE);
        self.drop_entries(2);
        self
    }

    /// Copies the call data from 64 bytes on into memory.
    pub(crate) fn copy_call_data(&mut self, from: u64, to: u64, bytes: u64) -> &mut Self {
        self.push(bytes).push(from).push(to);
        self.bytes.push(CALLDATACOPY);
        self.drop_entries(3);
        self
    }

    /// Returns the first word of memory.
    pub(crate) fn return_word(&mut self) -> &mut Self {
        self.push(32).push(0).bytes.push(RETURN);
        self.drop_entries(2);
        self
    }

    fn depth(&self, name: &'static str) -> u8 {
        let found = self
            .stack
            .iter()
            .rev()
            .position(|entry| *entry == Some(name));
        match found {
            Some(depth @ 0..16) => depth as u8,
            _ => unreachable!("{name} is on the stack, and within reach"),
        }
    }

    fn drop_entries(&mut self, count: usize) {
        self.stack.truncate(self.stack.len() - count);
    }
}
