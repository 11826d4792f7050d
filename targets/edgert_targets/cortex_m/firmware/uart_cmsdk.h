/* UART of Arm's Cortex-M System Design Kit (MPS2 and MPS3 boards). Source: Arm DDI 0479, section 4.3. */
static void uart_start(void)
{
    UART(0x10) = EDGERT_CLOCK_HZ / EDGERT_BAUD;
    UART(0x08) = 3; /* transmit and receive */
}

static void uart_send(uint32_t byte)
{
    while (UART(0x04) & 1) {
    }
    UART(0x00) = byte;
}

static uint32_t uart_receive(void)
{
    while (!(UART(0x04) & 2)) {
    }
    return UART(0x00) & 0xFF;
}

static void feed_watchdog(void) {} /* off after a reset */
