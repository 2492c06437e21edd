/*
 * Verifies proofs of trunkline. The README of trunkline-verifier says how; SPEC.md what a proof is.
 *
 * Generated from verifier/src: cd verifier/header && cargo run -- write
 */

#ifndef TRUNKLINE_VERIFIER_H
#define TRUNKLINE_VERIFIER_H

#include <stddef.h>
#include <stdint.h>

/**
 * The result of a call.
 */
typedef enum {
  /**
   * The call succeeded. For a verification: every claim is proven.
   */
  TRUNKLINE_OK = 0,
  /**
   * The bytes are a proof, but it does not hold against the trusted values. It disproves nothing either.
   */
  TRUNKLINE_NOT_PROVEN = 1,
  /**
   * The bytes are not a proof that this library can read.
   */
  TRUNKLINE_UNDECODABLE = 2,
  /**
   * A pointer must not be null but is, a length is impossible, or a flag is neither 0 nor 1.
   */
  TRUNKLINE_BAD_ARGUMENT = 3,
  /**
   * There is no such claim, or no trusted value binds the proof to a version.
   */
  TRUNKLINE_NOT_FOUND = 4,
  /**
   * A bug in this library; please report it. Nothing is proven.
   */
  TRUNKLINE_INTERNAL = 5,
} trunkline_code;

/**
 * The kind of a claim about a key.
 */
typedef enum {
  /**
   * The key has no value.
   */
  TRUNKLINE_ABSENT = 0,
  /**
   * The key has the value that the claim shows.
   */
  TRUNKLINE_PRESENT = 1,
  /**
   * The key has a value of which the claim shows only the hash.
   */
  TRUNKLINE_PRESENT_HASH = 2,
} trunkline_claim_kind;

/**
 * A handle to the claims of a valid proof.
 */
typedef struct trunkline_claims trunkline_claims;

/**
 * A whole root, as published by the operator of the tree.
 */
typedef struct {
  /**
   * The id of the tree.
   */
  uint8_t tree_id[32];
  /**
   * The version.
   */
  uint64_t version;
  /**
   * The hash of the version's commit record.
   */
  uint8_t commit_id[32];
  /**
   * The digest of the version's state.
   */
  uint8_t state_digest[32];
  /**
   * 1 if there is a KZG root, otherwise 0.
   */
  uint8_t has_kzg_root;
  /**
   * The KZG root, if there is one.
   */
  uint8_t kzg_root[48];
} trunkline_root;

/**
 * A key with its proven claim. Its pointers are valid until the claims are freed.
 */
typedef struct {
  /**
   * The key, without a terminating zero. Never null.
   */
  const uint8_t *key;
  /**
   * Length of the key.
   */
  size_t key_bytes;
  /**
   * The proven claim.
   */
  trunkline_claim_kind kind;
  /**
   * The value, without a terminating zero, if the kind is `TRUNKLINE_PRESENT`; otherwise null.
   */
  const uint8_t *value;
  /**
   * Length of the value. A present value may be empty.
   */
  size_t value_bytes;
  /**
   * BLAKE3 of the value; zeros if the key is absent.
   */
  uint8_t value_hash[32];
} trunkline_claim;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Verifies a proof against a whole root, which binds its tree, version and state.
 *
 * `claims` receives a handle if and only if the result is `TRUNKLINE_OK`, and null otherwise; free it with
 * `trunkline_claims_free`. `error` receives a text that says what to do, cut to `error_bytes` including its
 * terminating zero; it may be null if `error_bytes` is 0.
 *
 * # Safety
 *
 * Each pointer points to the bytes named here: `root` to a `trunkline_root`, `claims` to a pointer.
 */
trunkline_code trunkline_verify_root(const uint8_t *proof,
                                     size_t proof_bytes,
                                     const trunkline_root *root,
                                     trunkline_claims **claims,
                                     char *error,
                                     size_t error_bytes);

/**
 * Verifies a proof against the id of a commit (32 bytes), which binds its tree, version and state. The
 * proof carries the commit's record and has a hash top.
 *
 * # Safety
 *
 * As for `trunkline_verify_root`; `commit_id` points to 32 bytes.
 */
trunkline_code trunkline_verify_commit_id(const uint8_t *proof,
                                          size_t proof_bytes,
                                          const uint8_t *commit_id,
                                          trunkline_claims **claims,
                                          char *error,
                                          size_t error_bytes);

/**
 * Verifies a proof with a hash top against a state digest of a tree (32 bytes each). Nothing binds its
 * version.
 *
 * # Safety
 *
 * As for `trunkline_verify_root`; `tree_id` and `state_digest` point to 32 bytes each.
 */
trunkline_code trunkline_verify_state_digest(const uint8_t *proof,
                                             size_t proof_bytes,
                                             const uint8_t *tree_id,
                                             const uint8_t *state_digest,
                                             trunkline_claims **claims,
                                             char *error,
                                             size_t error_bytes);

/**
 * Verifies a proof with a KZG top against a KZG root (48 bytes) of a tree (32 bytes). Nothing binds its
 * version.
 *
 * # Safety
 *
 * As for `trunkline_verify_root`; `tree_id` points to 32 bytes, `kzg_root` to 48.
 */
trunkline_code trunkline_verify_kzg_root(const uint8_t *proof,
                                         size_t proof_bytes,
                                         const uint8_t *tree_id,
                                         const uint8_t *kzg_root,
                                         trunkline_claims **claims,
                                         char *error,
                                         size_t error_bytes);

/**
 * Returns the number of claims: at least one, or 0 for a null pointer. Claims are numbered from 0, ascending by
 * the hash of their key.
 *
 * # Safety
 *
 * `claims` is null or a handle that has not been freed.
 */
size_t trunkline_claims_count(const trunkline_claims *claims);

/**
 * Gets a claim by its number. Returns `TRUNKLINE_NOT_FOUND` if there is no claim with that number.
 *
 * # Safety
 *
 * `claims` is null or a handle that has not been freed; `claim` is null or points to a `trunkline_claim`.
 */
trunkline_code trunkline_claims_get(const trunkline_claims *claims, size_t index, trunkline_claim *claim);

/**
 * Finds a claim by its key. Returns `TRUNKLINE_NOT_FOUND` if the proof is not about the key: then nothing is known
 * about the key, and it may well be present.
 *
 * # Safety
 *
 * As for `trunkline_claims_get`; `key` points to `key_bytes` bytes.
 */
trunkline_code trunkline_claims_find(const trunkline_claims *claims,
                                     const uint8_t *key,
                                     size_t key_bytes,
                                     trunkline_claim *claim);

/**
 * Writes the version of the claims to `version`. Returns `TRUNKLINE_NOT_FOUND` if no trusted value binds the version:
 * only a whole root and a commit id do.
 *
 * # Safety
 *
 * `claims` is null or a handle that has not been freed; `version` is null or points to a `uint64_t`.
 */
trunkline_code trunkline_claims_version(const trunkline_claims *claims,
                                        uint64_t *version);

/**
 * Frees the claims, and with them every key and value that `trunkline_claim`s point to. Null is ignored.
 *
 * # Safety
 *
 * `claims` is null or a handle that has not been freed, and is not used any more.
 */
void trunkline_claims_free(trunkline_claims *claims);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TRUNKLINE_VERIFIER_H */
