/* Second boot stage of RP2040, which its ROM copies to RAM and starts: reads flash by command 0x03, which every chip
 * knows, and goes on to the vector table behind. The last of its 256 bytes are a CRC-32 that the ROM checks.
 *
 * Source: RP2040 Datasheet, boot sequence and SSI. In assembly:
 *     SSIENR = 0, BAUDR = 4, CTRLR0 = 0x001F0300 (one line, 32-bit frames, EEPROM read), CTRLR1 = 0,
 *     SPI_CTRLR0 = 0x03000218 (8-bit instruction, 24-bit address), SSIENR = 1, VTOR = 0x10000100, msp, bx
 */
static const uint32_t boot_stage[64] __attribute__((section(".boot"), used)) = {
    0x20004B0A, 0x20046098, 0x48096158, 0x20006018, 0x49086058, 0x60084808, 0x60982001, 0x49084807, 0xC8066008,
    0x8808F381, 0x00004710, 0x18000000, 0x001F0300, 0x180000F4, 0x03000218, 0x10000100, 0xE000ED08,
    [63] = 0x9B1F7A50,
};
