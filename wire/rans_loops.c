/* The two inner loops of wire/rans_lanes.py, step by step and lane by lane: the same states, words and symbols.

   Plain C without Python's headers, loaded through ctypes; where no compiler was at hand, numpy does the same. */

#include <stdint.h>

enum { PRECISION_BITS = 12, TOTAL = 1 << PRECISION_BITS, WORD_BITS = 16, LOWEST_STATE = 1 << 16 };

/* Pushes symbols (steps, lanes), the last step first. Words fill the room (steps * lanes) from its end, in the order in
   which they are popped; gives how many there are. */
int64_t isthmus_rans_push(int64_t steps, int64_t lanes, uint32_t *states, const uint32_t *frequencies,
                          const uint32_t *starts, uint32_t *room)
{
    uint32_t *word = room + steps * lanes;
    for (int64_t at = steps * lanes - 1; at >= 0; at--) {
        uint32_t *state = states + at % lanes;
        uint32_t frequency = frequencies[at], low = *state;
        if (low > (frequency << (32 - PRECISION_BITS)) - 1) {
            *--word = low & 0xFFFF;
            low >>= WORD_BITS;
        }
        uint32_t quotient = frequency ? low / frequency : 0;
        *state = low + starts[at] + quotient * (TOTAL - frequency);
    }
    return room + steps * lanes - word;
}

/* Pops symbols (steps, lanes) by rows of tables; gives how many words were read, or -1 where one is missing. */
int64_t isthmus_rans_pop(int64_t steps, int64_t lanes, uint32_t *states, const uint32_t *rows, const uint32_t *entries,
                         int64_t slots, const uint32_t *words, int64_t have, uint32_t *symbols)
{
    int64_t used = 0;
    for (int64_t step = 0; step < steps; step++) {
        for (int64_t lane = 0; lane < lanes; lane++, rows++, symbols++) {
            uint32_t state = states[lane];
            int64_t slot = ((int64_t)*rows << PRECISION_BITS) + (state & (TOTAL - 1));
            uint32_t entry = entries[slot < slots ? slot : slots - 1];
            state = (state >> PRECISION_BITS) * (entry >> 19) + (entry & (TOTAL - 1));
            if (state < LOWEST_STATE) {
                if (used == have)
                    return -1;
                state = state << WORD_BITS | words[used++];
            }
            states[lane] = state;
            *symbols = entry >> 12 & 127;
        }
    }
    return used;
}
