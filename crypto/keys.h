// SPDX-License-Identifier: BSD-3-Clause
//
// Keys as text: base64 (44 characters, as wg(8) prints) and hex (64, as the UAPI has it). Decoding
// runs in constant time and accepts nothing but the canonical form.
#pragma once

#include "messages.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_BASE64_LEN 45 // with the NUL
#define KEY_HEX_LEN    65

void key_to_base64(char out[KEY_BASE64_LEN], const uint8_t key[NOISE_KEY_LEN]);
bool key_from_base64(uint8_t out[NOISE_KEY_LEN], const char *text);
void key_to_hex(char out[KEY_HEX_LEN], const uint8_t key[NOISE_KEY_LEN]);
bool key_from_hex(uint8_t out[NOISE_KEY_LEN], const char *text);
bool key_is_zero(const uint8_t key[NOISE_KEY_LEN]);
