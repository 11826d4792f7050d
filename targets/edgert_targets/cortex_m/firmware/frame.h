/* Frames on the serial line: COBS, ended by a zero byte, with a CRC-32 of their content in the last four bytes.
 *
 * Source: Cheshire and Baker, Consistent overhead byte stuffing, IEEE/ACM Transactions on Networking 7(2), 1999.
 */
#define CRC_RESIDUE 0xDEBB20E3u /* CRC register over any content that is followed by its CRC-32 */
#define HEADER_BYTES 4

/* A stretch of memory: where an input goes, or what a frame is sent from. */
struct piece {
    unsigned char *bytes;
    uint32_t count;
};

static uint32_t crc_step(uint32_t crc, uint32_t byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++) {
        crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return crc;
}

/* Byte `index` of the pieces laid end to end, or null behind their end. */
static unsigned char *piece_at(const struct piece *pieces, uint32_t count, uint32_t index)
{
    for (uint32_t i = 0; i < count; i++) {
        if (index < pieces[i].count) {
            return pieces[i].bytes + index;
        }
        index -= pieces[i].count;
    }
    return 0;
}

static void frame_send(const struct piece *pieces, uint32_t count)
{
    uint32_t total = 0, crc = ~0u;
    for (const unsigned char *byte; (byte = piece_at(pieces, count, total)) != 0; total++) {
        crc = crc_step(crc, *byte);
    }
    unsigned char tail[4];
    crc = ~crc;
    memcpy(tail, &crc, 4);
    for (uint32_t start = 0; start <= total + 4;) { /* one block of bytes that are not zero, and the zero after it */
        uint32_t end = start;
        while (end < total + 4 && end < start + 254 && *(end < total ? piece_at(pieces, count, end) : tail + end - total)) {
            end++;
        }
        uart_send(end - start + 1);
        for (uint32_t i = start; i < end; i++) {
            uart_send(i < total ? *piece_at(pieces, count, i) : tail[i - total]);
        }
        start = end == start + 254 ? end : end + 1;
        if (end == total + 4) {
            break;
        }
    }
    uart_send(0);
}

/* A frame that comes in. The first bytes are its header; `body` tells where the rest goes, once the header is known. */
struct incoming {
    unsigned char header[HEADER_BYTES];
    uint32_t count;
    uint32_t crc;
    const struct piece *body;
    uint32_t pieces;
};

static void frame_take(struct incoming *frame, uint32_t byte)
{
    if (frame->count < HEADER_BYTES) {
        frame->header[frame->count] = (unsigned char)byte;
        if (frame->count == HEADER_BYTES - 1) {
            frame_route(frame);
        }
    } else {
        unsigned char *const place = piece_at(frame->body, frame->pieces, frame->count - HEADER_BYTES);
        if (place) { /* what is too long is counted, and refused at the end */
            *place = (unsigned char)byte;
        }
    }
    frame->crc = crc_step(frame->crc, byte);
    frame->count++;
}

/* Waits for a frame; 1 when it is whole. Its body then has `frame->count` bytes and lies where it was sent to. */
static int frame_receive(struct incoming *frame)
{
    uint32_t left = 0, byte;
    int zero_follows = 0;
    frame->count = 0;
    frame->crc = ~0u;
    while ((byte = uart_receive()) != 0) {
        if (left) {
            left--;
            frame_take(frame, byte);
            continue;
        }
        if (zero_follows) {
            frame_take(frame, 0);
        }
        left = byte - 1;
        zero_follows = byte != 0xFF;
    }
    int const whole = !left && frame->crc == CRC_RESIDUE && frame->count >= HEADER_BYTES + 4;
    frame->count -= whole ? HEADER_BYTES + 4 : 0;
    return whole;
}
