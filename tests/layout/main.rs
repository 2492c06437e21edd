//! The layout of the workspace, read from its sources: imports go down only, and the seams are used everywhere.

mod architecture;
mod imports;
mod seams;
mod sources;
