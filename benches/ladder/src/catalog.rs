//! The rungs: each optimisation, the tier it was promised in, and how it is switched off alone.

use crate::error::LadderError;
use crate::figures::{Comparison, Figures};
use crate::micro::{self, Scope};

/// The promise that the project's list makes for an optimisation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Promise {
    /// 5–10×.
    Tier1,
    /// 2–3×.
    Tier2,
    /// 1.5–2×.
    Tier3,
    /// 1.1–1.3×.
    Tier4,
    /// All of them together: 30–50×.
    All,
    /// The optimisation is not in the list.
    Nothing,
}

impl Promise {
    /// Returns the least and the greatest promised factor, if there is a promise.
    pub(crate) fn factors(self) -> Option<(f64, f64)> {
        match self {
            Self::Tier1 => Some((5.0, 10.0)),
            Self::Tier2 => Some((2.0, 3.0)),
            Self::Tier3 => Some((1.5, 2.0)),
            Self::Tier4 => Some((1.1, 1.3)),
            Self::All => Some((30.0, 50.0)),
            Self::Nothing => None,
        }
    }

    /// Returns the promise as the table prints it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Tier1 => "1: 5–10×",
            Self::Tier2 => "2: 2–3×",
            Self::Tier3 => "3: 1.5–2×",
            Self::Tier4 => "4: 1.1–1.3×",
            Self::All => "all: 30–50×",
            Self::Nothing => "–",
        }
    }
}

/// The work that the engine is given in a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Load {
    /// Number of puts in a batch.
    pub(crate) batch: u64,
    /// Number of submissions in flight.
    pub(crate) in_flight: usize,
    /// The highest number of puts; the command line may ask for fewer.
    pub(crate) operations_max: u64,
    /// True if keys are put before the measurement, as many as the command line says.
    pub(crate) preload: bool,
}

/// Batches of 10,000, eight in flight.
const LARGE: Load = Load {
    batch: 10_000,
    in_flight: 8,
    operations_max: u64::MAX,
    preload: true,
};
/// Batches of 1,000, eight in flight, so that commitments have a larger share.
const MEDIUM: Load = Load {
    batch: 1_000,
    operations_max: 500_000,
    ..LARGE
};
/// Batches of 128 puts, the width of a node.
const NODE_WIDTH: Load = Load {
    batch: 128,
    operations_max: 250_000,
    ..LARGE
};
/// Many callers with small batches.
const CALLERS: Load = Load {
    batch: 100,
    in_flight: 100,
    operations_max: 500_000,
    preload: true,
};
/// A few puts at a time, each batch waited for.
const FEW: Load = Load {
    batch: 10,
    in_flight: 1,
    operations_max: 20_000,
    preload: true,
};
/// One put after the other, each waited for.
const ONE: Load = Load {
    batch: 1,
    in_flight: 1,
    operations_max: 2_000,
    preload: true,
};
/// Opening an empty directory, without any operation.
const OPEN: Load = Load {
    batch: 1,
    in_flight: 1,
    operations_max: 0,
    preload: false,
};

/// One side of a pair of runs of the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// The settings that differ from the defaults.
    pub(crate) settings: &'static [&'static str],
    /// The work that the engine is given.
    pub(crate) load: Load,
    /// The environment variables of the process.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// True if the process is confined to one core.
    pub(crate) one_core: bool,
    /// True if a file with the KZG tables exists before the run.
    pub(crate) tables_kept: bool,
}

const fn side(load: Load) -> Side {
    Side {
        settings: &[],
        load,
        environment: &[],
        one_core: false,
        tables_kept: true,
    }
}

const fn set(load: Load, settings: &'static [&'static str]) -> Side {
    Side {
        settings,
        ..side(load)
    }
}

/// The work that a factor refers to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// The engine's work from submission to durable.
    Whole,
    /// A part of the work on a put; the rest of that work stays the same.
    OfPut(&'static str),
    /// Other work that the engine does.
    Beside(&'static str),
    /// Work that the engine never does.
    Unused(&'static str),
}

impl Part {
    /// Returns the name in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Whole => "commits",
            Self::OfPut(part) | Self::Beside(part) | Self::Unused(part) => part,
        }
    }
}

/// The figure that is taken from a run of the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Measure {
    /// Puts per second.
    Updates,
    /// Reads of present keys per second.
    ReadsPresent,
    /// The time to open, in milliseconds.
    Open,
}

impl Measure {
    /// Returns the unit as the table prints it.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Updates => "puts/s",
            Self::ReadsPresent => "reads/s",
            Self::Open => "ms to open",
        }
    }

    /// Returns the figure of this kind from a run.
    pub(crate) fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Updates => figures.updates_per_second,
            Self::ReadsPresent => figures.reads_present_per_second,
            Self::Open => figures.open_ms,
        }
    }

    /// Returns the factor by which the first figure is better than the second.
    pub(crate) fn factor(self, with: f64, without: f64) -> f64 {
        match self {
            Self::Updates | Self::ReadsPresent => with / without,
            Self::Open => without / with,
        }
    }
}

/// The way in which an optimisation is switched off.
#[derive(Clone, Copy)]
pub(crate) enum Off {
    /// The engine with its defaults, compared with the naive baseline.
    Naive(Side),
    /// Other settings or other work: the side with the optimisation, then the side without.
    Config(Side, Side),
    /// Other features of this program, which are those of the side without the optimisation.
    Build(Side, &'static [&'static str]),
    /// `patches/<name>.patch`, applied to the engine's sources.
    Patch(Side, SameRoot),
    /// A comparison in one process, outside the engine.
    Micro(fn(&Scope<'_>) -> Result<Comparison, LadderError>),
}

/// The expectation for the roots with and without the optimisation. If they must be equal, they are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SameRoot {
    Yes,
    No,
}

impl Off {
    /// Returns the kind, as the command line and the table name it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Naive(_) => Kind::Naive,
            Self::Config(..) => Kind::Config,
            Self::Build(..) => Kind::Build,
            Self::Patch(..) => Kind::Patch,
            Self::Micro(_) => Kind::Micro,
        }
    }
}

/// The kinds of comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A comparison with the naive baseline.
    Naive,
    /// Other settings.
    Config,
    /// Other features of this program.
    Build,
    /// A patch of the engine's sources.
    Patch,
    /// A comparison in one process.
    Micro,
}

impl Kind {
    /// Returns the name in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Config => "config",
            Self::Build => "build",
            Self::Patch => "patch",
            Self::Micro => "micro",
        }
    }
}

/// One optimisation of the ladder.
#[derive(Clone, Copy)]
pub(crate) struct Rung {
    /// Its name on the command line. If there is a patch, also the name of the patch.
    pub(crate) name: &'static str,
    /// A short description of the comparison.
    pub(crate) what: &'static str,
    pub(crate) promise: Promise,
    /// True if the engine has the optimisation. If not, "with" is the proposed variant.
    pub(crate) in_engine: bool,
    /// The work that the factor refers to.
    pub(crate) part: Part,
    pub(crate) measure: Measure,
    pub(crate) off: Off,
}

impl Rung {
    /// Returns whether the side with the optimisation is the engine with its defaults, in large batches.
    pub(crate) fn shows_the_engine_as_it_comes(&self) -> bool {
        let with = match &self.off {
            Off::Naive(with) | Off::Config(with, _) | Off::Build(with, _) | Off::Patch(with, _) => {
                with
            }
            Off::Micro(_) => return false,
        };
        let is_plain = with.settings.is_empty() && with.environment.is_empty() && !with.one_core;
        is_plain && with.load == LARGE
    }
}

const RUNG: Rung = Rung {
    name: "",
    what: "",
    promise: Promise::Nothing,
    in_engine: true,
    part: Part::Whole,
    measure: Measure::Updates,
    off: Off::Config(side(LARGE), side(LARGE)),
};

/// Returns the optimisation of a name.
pub(crate) fn find(name: &str) -> Result<&'static Rung, LadderError> {
    let found = RUNGS.iter().find(|rung| rung.name == name);
    found.ok_or_else(|| LadderError::NoSuchName(name.to_owned()))
}

/// All optimisations, in the order of the table.
pub(crate) const RUNGS: &[Rung] = &[
    Rung {
        name: "naive",
        what: "the engine in batches of 10,000 against the naive baseline",
        promise: Promise::All,
        off: Off::Naive(side(LARGE)),
        ..RUNG
    },
    Rung {
        name: "naive-one",
        what: "the engine put by put, each waited for, against the naive baseline",
        promise: Promise::All,
        off: Off::Naive(side(ONE)),
        ..RUNG
    },
    Rung {
        name: "below-the-root",
        what: "BLAKE3 below the root against KZG at every level that a batch touches",
        promise: Promise::Tier1,
        part: Part::OfPut("hashing"),
        off: Off::Micro(micro::below_the_root::compare),
        ..RUNG
    },
    Rung {
        name: "grouping",
        what: "submissions of 100 puts become versions together, against a version for each",
        promise: Promise::Tier1,
        off: Off::Config(side(CALLERS), set(CALLERS, &["group.operations_max=1"])),
        ..RUNG
    },
    Rung {
        name: "pipelining",
        what: "several groups and submissions in flight against one",
        promise: Promise::Tier1,
        off: Off::Config(
            side(LARGE),
            set(
                Load {
                    in_flight: 1,
                    ..LARGE
                },
                &["group.in_flight_max=1"],
            ),
        ),
        ..RUNG
    },
    Rung {
        name: "parallel-stages",
        what: "a thread for each stage on all cores, against the same on one core",
        promise: Promise::Tier1,
        off: Off::Config(
            side(LARGE),
            Side {
                one_core: true,
                ..side(LARGE)
            },
        ),
        ..RUNG
    },
    Rung {
        name: "parallel-hashing",
        what: "hashing a version on two threads instead of one (workers.hash_parallelism=2)",
        promise: Promise::Nothing,
        in_engine: false,
        off: Off::Config(set(LARGE, &["workers.hash_parallelism=2"]), side(LARGE)),
        ..RUNG
    },
    Rung {
        name: "one-log-record",
        what: "a synced log record for 10,000 puts against 10,000 entries of one synced fjall batch",
        promise: Promise::Tier2,
        part: Part::OfPut("log"),
        off: Off::Micro(micro::one_log_record::compare),
        ..RUNG
    },
    Rung {
        name: "aggregated-openings",
        what: "64 keys verified in one proof with a KZG top, against 64 proofs",
        promise: Promise::Tier2,
        part: Part::Beside("verifying"),
        off: Off::Micro(micro::many_openings::compare),
        ..RUNG
    },
    Rung {
        name: "protobuf",
        what: "a proof to protobuf bytes and back, against JSON",
        promise: Promise::Tier2,
        part: Part::Beside("proof bytes"),
        off: Off::Micro(micro::wire_form::compare),
        ..RUNG
    },
    Rung {
        name: "binary-record",
        what: "a log record's 10,000 effects to bytes and back, against JSON",
        promise: Promise::Nothing,
        part: Part::OfPut("record bytes"),
        off: Off::Micro(micro::binary_record::compare),
        ..RUNG
    },
    Rung {
        name: "node-cache",
        what: "nodes in memory, against reading those that a batch changes from fjall",
        promise: Promise::Tier2,
        part: Part::OfPut("tree and hashing"),
        off: Off::Micro(micro::nodes_in_memory::compare),
        ..RUNG
    },
    Rung {
        name: "pools",
        what: "emptied buffers and lists of the tree used again, against new ones for each version",
        promise: Promise::Tier2,
        off: Off::Patch(side(LARGE), SameRoot::Yes),
        ..RUNG
    },
    Rung {
        name: "value-cache",
        what: "values and blocks cached for reads, against no cache",
        promise: Promise::Nothing,
        part: Part::Beside("reads"),
        measure: Measure::ReadsPresent,
        off: Off::Config(
            side(LARGE),
            set(LARGE, &["cache.value_bytes_max=0", "store.cache_bytes=0"]),
        ),
        ..RUNG
    },
    Rung {
        name: "bloom-filter",
        what: "fjall's own Bloom filters, against none, for absent keys",
        promise: Promise::Tier3,
        part: Part::Unused("absent keys in the store"),
        off: Off::Micro(micro::bloom_filter::fjalls_own),
        ..RUNG
    },
    Rung {
        name: "bloom-filter-before",
        what: "a Bloom filter in memory before fjall and its own filters, for absent keys",
        promise: Promise::Tier3,
        part: Part::Unused("absent keys in the store"),
        in_engine: false,
        off: Off::Micro(micro::bloom_filter::before_the_store),
        ..RUNG
    },
    Rung {
        name: "compression-lz4",
        what: "log records of JSON values compressed by lz4, appended and synced",
        promise: Promise::Tier3,
        part: Part::OfPut("log append"),
        in_engine: false,
        off: Off::Micro(micro::compression::lz4),
        ..RUNG
    },
    Rung {
        name: "compression-zstd",
        what: "log records of JSON values compressed by zstd 1, appended and synced",
        promise: Promise::Tier3,
        part: Part::OfPut("log append"),
        in_engine: false,
        off: Off::Micro(micro::compression::zstd),
        ..RUNG
    },
    Rung {
        name: "tables-kept",
        what: "opening with the KZG tables in a file, against building them",
        promise: Promise::Tier3,
        part: Part::Beside("opening"),
        measure: Measure::Open,
        off: Off::Config(
            side(OPEN),
            Side {
                tables_kept: false,
                ..side(OPEN)
            },
        ),
        ..RUNG
    },
    Rung {
        name: "mapped-tables",
        what: "tables there without reading or converting, the most that mapping could give, against reading them",
        promise: Promise::Tier3,
        part: Part::Beside("reading tables"),
        in_engine: false,
        off: Off::Micro(micro::mapped_tables::compare),
        ..RUNG
    },
    Rung {
        name: "lane-wide-hashing",
        what: "as many hashes at once as the machine has lanes, against one at a time",
        promise: Promise::Tier3,
        off: Off::Patch(side(LARGE), SameRoot::Yes),
        ..RUNG
    },
    Rung {
        name: "path-compression",
        what: "a lone leaf stands where its path parts from the others, against a chain of hashes down to the last level for each cell that changes",
        promise: Promise::Tier3,
        off: Off::Patch(side(LARGE), SameRoot::No),
        ..RUNG
    },
    Rung {
        name: "pre-sorting",
        what: "a batch applied to the tree in path order, against put by put as they came",
        promise: Promise::Tier4,
        off: Off::Patch(side(LARGE), SameRoot::Yes),
        ..RUNG
    },
    Rung {
        name: "prefetch",
        what: "memory of the next writes and nodes touched ahead, against each when its turn comes",
        promise: Promise::Tier4,
        off: Off::Patch(side(LARGE), SameRoot::Yes),
        ..RUNG
    },
    Rung {
        name: "batch-node-width",
        what: "batches of 10,000 against batches of 128, the width of a node",
        promise: Promise::Tier4,
        off: Off::Config(side(LARGE), side(NODE_WIDTH)),
        ..RUNG
    },
    Rung {
        name: "batch-of-one",
        what: "batches of 128 against single puts, as many submissions in flight",
        promise: Promise::Nothing,
        off: Off::Config(
            side(NODE_WIDTH),
            side(Load {
                batch: 1,
                operations_max: 50_000,
                ..LARGE
            }),
        ),
        ..RUNG
    },
    Rung {
        name: "incremental-kzg",
        what: "batches of 10, each waited for: a commitment updated by the slots that changed, against one computed from all",
        promise: Promise::Tier4,
        off: Off::Patch(side(FEW), SameRoot::Yes),
        ..RUNG
    },
    Rung {
        name: "shared-inversion",
        what: "batches of 1,000: additions of a commitment that share inversions, against each by itself",
        promise: Promise::Nothing,
        off: Off::Patch(side(MEDIUM), SameRoot::Yes),
        ..RUNG
    },
    Rung {
        name: "allocator",
        what: "mimalloc against the system's allocator",
        promise: Promise::Tier4,
        off: Off::Build(side(LARGE), &[]),
        ..RUNG
    },
    Rung {
        name: "memory-kept",
        what: "mimalloc keeps freed memory for a second, against its 10 ms",
        promise: Promise::Nothing,
        off: Off::Config(
            side(LARGE),
            Side {
                environment: &[("MIMALLOC_PURGE_DELAY", "10")],
                ..side(LARGE)
            },
        ),
        ..RUNG
    },
    Rung {
        name: "coalesced-roots",
        what: "batches of 1,000: versions that wait pass on without a KZG root, against one for each",
        promise: Promise::Nothing,
        in_engine: false,
        off: Off::Config(set(MEDIUM, &["kzg.mode=coalesce"]), side(MEDIUM)),
        ..RUNG
    },
    Rung {
        name: "no-kzg-root",
        what: "batches of 10,000: no KZG roots at all, against one for each version",
        promise: Promise::Nothing,
        in_engine: false,
        off: Off::Config(set(LARGE, &["kzg.mode=on_demand"]), side(LARGE)),
        ..RUNG
    },
    Rung {
        name: "no-sync",
        what: "durability os, against sync",
        promise: Promise::Nothing,
        in_engine: false,
        off: Off::Config(set(LARGE, &["durability.mode=os"]), side(LARGE)),
        ..RUNG
    },
    Rung {
        name: "no-leaf-store",
        what: "leaves stay in memory and in the log, against leaves in fjall",
        promise: Promise::Nothing,
        in_engine: false,
        off: Off::Config(set(LARGE, &["store.kind=log"]), side(LARGE)),
        ..RUNG
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_patches_have_their_files() {
        for (index, rung) in RUNGS.iter().enumerate() {
            assert!(!RUNGS[..index].iter().any(|other| other.name == rung.name));
            if rung.off.kind() == Kind::Patch {
                assert!(
                    crate::variant::patch_path(rung.name).is_file(),
                    "{}",
                    rung.name
                );
            }
        }
    }

    #[test]
    fn every_setting_is_one_of_the_engine() {
        for rung in RUNGS {
            let sides: &[Side] = match &rung.off {
                Off::Naive(side) | Off::Build(side, _) | Off::Patch(side, _) => &[*side],
                Off::Config(with, without) => &[*with, *without],
                Off::Micro(_) => &[],
            };
            for setting in sides.iter().flat_map(|side| side.settings) {
                let layers = trunkline::Config::layers().set(setting).expect(setting);
                layers.build().expect(setting);
            }
        }
    }
}
