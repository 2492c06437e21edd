//! Configuration and decisions.

use super::Api;
use crate::error::{Code, ServiceError};
use crate::proto::{ConfigReply, Decision, DecisionsReply, GetDecisionsRequest};

impl Api {
    /// Returns the configuration in force.
    ///
    /// # Errors
    ///
    /// Fails if a path in it is not UTF-8.
    pub fn config(&self) -> Result<ConfigReply, ServiceError> {
        let toml = self.backend.config().to_toml();
        let toml = toml.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?;
        Ok(ConfigReply { toml })
    }

    /// Reads the configuration file, the tokens and the certificates again.
    ///
    /// # Errors
    ///
    /// Fails if one of them cannot be used; the old ones then stay in force.
    pub fn reload(&self) -> Result<ConfigReply, ServiceError> {
        (self.reload)()?;
        self.config()
    }

    /// Returns the engine's changes of its settings.
    ///
    /// # Errors
    ///
    /// Never fails today.
    pub fn decisions(&self, request: &GetDecisionsRequest) -> Result<DecisionsReply, ServiceError> {
        let after = request.from.saturating_sub(1);
        let decisions = self.backend.decisions_since(after).into_iter();
        let lines = decisions.map(|decision| {
            let json = serde_json::to_string(&decision);
            let json =
                json.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?;
            Ok(Decision {
                number: decision.number,
                json,
            })
        });
        Ok(DecisionsReply {
            decisions: lines.collect::<Result<_, ServiceError>>()?,
        })
    }
}
