/*
 * atomic.h - the one place that names C11 atomics, so that a compiler without <stdatomic.h> needs
 * one file. (MSVC: /std:c11 /experimental:c11atomics.)
 */
#ifndef SLUICE_BASE_ATOMIC_H
#define SLUICE_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef atomic_uint sl_atomic_u32;
typedef atomic_uint_fast64_t sl_atomic_u64;
typedef atomic_size_t sl_atomic_size;
typedef atomic_bool sl_atomic_bool;

#endif
