//! A KZG root with the openings of some slots, and an EVM with one contract.

use std::sync::LazyLock;

use revm::bytecode::Bytecode;
use revm::context::TxEnv;
use revm::context_interface::result::{ExecutionResult, Output};
use revm::database::{CacheDB, EmptyDB};
use revm::precompile::kzg_point_evaluation::kzg_to_versioned_hash;
use revm::primitives::{Address, Bytes, TxKind};
use revm::state::AccountInfo;
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};
use trunkline_core::hash::hash;
use trunkline_core::kzg::{Committer, Setup, Slot, slot_point, slot_value, slot_value_bytes};

static COMMITTER: LazyLock<Committer> =
    LazyLock::new(|| Committer::new(&Setup::ceremony().expect("the embedded setup")));

/// The slots of one state, with its KZG root.
pub(crate) struct State {
    pub(crate) slots: [[u8; 32]; 128],
    pub(crate) kzg_root: [u8; 48],
}

impl State {
    /// Returns a state with digests in most slots, many with their top two bits set.
    pub(crate) fn new(seed: u8) -> Self {
        let slots = core::array::from_fn(|slot| match slot % 7 {
            0 => [0; 32],
            _ => hash(&[seed, slot as u8]),
        });
        let values = slots.map(|digest| slot_value(&digest));
        Self {
            slots,
            kzg_root: COMMITTER.commit(&values).to_bytes().0,
        }
    }

    pub(crate) fn opening(&self, slot: usize) -> [u8; 48] {
        let values = self.slots.map(|digest| slot_value(&digest));
        COMMITTER.open(&values, of(slot)).0
    }

    /// Returns 0x01 and the SHA-256 of the commitment without its first byte (EIP-4844).
    pub(crate) fn versioned_hash(&self) -> [u8; 32] {
        kzg_to_versioned_hash(&self.kzg_root)
    }

    /// Returns the input of the precompile for a slot.
    pub(crate) fn input(&self, slot: usize) -> Input {
        Input {
            versioned_hash: self.versioned_hash(),
            z: slot_point(of(slot)),
            y: slot_value_bytes(&self.slots[slot]),
            commitment: self.kzg_root,
            opening: self.opening(slot),
        }
    }
}

pub(crate) fn of(slot: usize) -> Slot {
    Slot::new(slot).expect("a slot of the root node")
}

/// The input of the point evaluation precompile.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) versioned_hash: [u8; 32],
    pub(crate) z: [u8; 32],
    pub(crate) y: [u8; 32],
    pub(crate) commitment: [u8; 48],
    pub(crate) opening: [u8; 48],
}

impl Input {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let parts = [
            &self.versioned_hash[..],
            &self.z,
            &self.y,
            &self.commitment,
            &self.opening,
        ];
        parts.concat()
    }
}

/// Gas of a transaction without value, before anything is executed.
const TRANSACTION_GAS: u64 = 21_000;
const CONTRACT: Address = Address::repeat_byte(0xee);

/// Returns the output of a contract with this code for an input, and the gas of its execution alone.
pub(crate) fn execute(code: Vec<u8>, input: &[u8]) -> (Vec<u8>, u64) {
    let mut database = CacheDB::new(EmptyDB::default());
    let account = AccountInfo::from_bytecode(Bytecode::new_raw(code.into()));
    database.insert_account_info(CONTRACT, account);
    let mut evm = Context::mainnet().with_db(database).build_mainnet();
    let transaction = TxEnv::builder()
        .kind(TxKind::Call(CONTRACT))
        .gas_limit(200_000)
        .data(Bytes::copy_from_slice(input))
        .build()
        .expect("a plain call");
    let result = evm.transact_one(transaction);
    match result.expect("it can be executed") {
        ExecutionResult::Success {
            gas,
            output: Output::Call(output),
            ..
        } => {
            let before = TRANSACTION_GAS + data_gas(input);
            (output.to_vec(), gas.tx_gas_used() - before)
        }
        result => panic!("the contract returns in any case, not {result:?}"),
    }
}

/// Returns the gas of call data: 4 for each byte that is zero, 16 for each other (EIP-2028).
pub(crate) fn data_gas(input: &[u8]) -> u64 {
    let bytes = input.iter();
    bytes.map(|byte| if *byte == 0 { 4 } else { 16 }).sum()
}
