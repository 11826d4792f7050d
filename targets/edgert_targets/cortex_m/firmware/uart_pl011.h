/* Arm's PrimeCell UART, as in RP2040 and RP2350. Source: Arm DDI 0183; RP2040 Datasheet, section 4.2. */
static void uart_start(void)
{
    uint32_t const divisor = (EDGERT_CLOCK_HZ * 4) / EDGERT_BAUD; /* in 64ths */
    UART(0x24) = divisor >> 6;
    UART(0x28) = divisor & 63;
    UART(0x2C) = 0x70;  /* eight bits, FIFO */
    UART(0x30) = 0x301; /* on */
}

static void uart_send(uint32_t byte)
{
    while (UART(0x18) & 0x20) {
    }
    UART(0x00) = byte;
}

static uint32_t uart_receive(void)
{
    while (UART(0x18) & 0x10) {
    }
    return UART(0x00) & 0xFF;
}

static void feed_watchdog(void) {} /* off after a reset */
