/* What the ROM of RP2350 looks for in the first 4 KB of flash: an executable for the Arm cores, secure, vector table at
 * its start. Source: RP2350 Datasheet, section 5.9.5.1 (smallest Arm image definition).
 */
static const uint32_t image_definition[5] __attribute__((section(".image"), used)) = {
    0xFFFFDED3, 0x10210142, 0x000001FF, 0x00000000, 0xAB123579,
};
