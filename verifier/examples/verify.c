/* verify PROOF TREE_ID STATE_DIGEST: shows what a proof proves of a state.
 * Ends with 0 if it is proven, 1 if not, 2 if an argument is of no use. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trunkline_verifier.h"

/* 32 bytes of hexadecimal digits. */
static int read_digest(const char *text, uint8_t digest[32]) {
  if (strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64)
    return 0;
  for (int i = 0; i < 32; i++) {
    char pair[3] = {text[2 * i], text[2 * i + 1], 0};
    digest[i] = (uint8_t)strtoul(pair, NULL, 16);
  }
  return 1;
}

static uint8_t *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file)
    return NULL;
  uint8_t *content = NULL;
  long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
  if (length >= 0 && fseek(file, 0, SEEK_SET) == 0)
    content = malloc((size_t)length + 1);
  if (content)
    *bytes = fread(content, 1, (size_t)length, file);
  fclose(file);
  return content;
}

static void print_bytes(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++)
    printf("%02x", bytes[i]);
}

int main(int count, char **arguments) {
  uint8_t tree_id[32], state_digest[32];
  size_t proof_bytes = 0;
  uint8_t *proof = count == 4 ? read_file(arguments[1], &proof_bytes) : NULL;
  if (!proof || !read_digest(arguments[2], tree_id) || !read_digest(arguments[3], state_digest)) {
    fprintf(stderr, "usage: verify PROOF TREE_ID STATE_DIGEST\n");
    free(proof);
    return 2;
  }

  char error[256];
  trunkline_claims *claims = NULL;
  trunkline_code code = trunkline_verify_state_digest(proof, proof_bytes, tree_id, state_digest, &claims,
                                                      error, sizeof error);
  free(proof); /* the claims are copies */
  if (code != TRUNKLINE_OK) {
    fprintf(stderr, "%s\n", error);
    return code == TRUNKLINE_NOT_PROVEN ? 1 : 2;
  }

  trunkline_claim claim;
  for (size_t i = 0; trunkline_claims_get(claims, i, &claim) == TRUNKLINE_OK; i++) {
    print_bytes(claim.key, claim.key_bytes);
    switch (claim.kind) {
    case TRUNKLINE_ABSENT:
      printf(" is absent\n");
      break;
    case TRUNKLINE_PRESENT:
      printf(" has the value ");
      print_bytes(claim.value, claim.value_bytes);
      printf("\n");
      break;
    case TRUNKLINE_PRESENT_HASH:
      printf(" has a value of hash ");
      print_bytes(claim.value_hash, sizeof claim.value_hash);
      printf("\n");
      break;
    }
  }
  trunkline_claims_free(claims);
  return 0;
}
