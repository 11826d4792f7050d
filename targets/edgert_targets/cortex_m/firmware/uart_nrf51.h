/* UART of Nordic's nRF51 and nRF52. Source: nRF51 Series Reference Manual 3.0, sections 19 and 29. */
static void uart_start(void)
{
    UART(0x524) = 0x01D7E000; /* 115200 baud */
    UART(0x500) = 4;
    UART(0x000) = 1;
    UART(0x008) = 1;
}

static void uart_send(uint32_t byte)
{
    UART(0x11C) = 0;
    UART(0x51C) = byte;
    while (!UART(0x11C)) {
    }
}

static void feed_watchdog(void)
{
    if (REGISTER(0x40010400)) { /* a boot loader may have started it, and nothing stops it again */
        for (uint32_t i = 0; i < 8; i++) {
            REGISTER(0x40010600 + 4 * i) = 0x6E524635;
        }
    }
}

static uint32_t uart_receive(void)
{
    while (!UART(0x108)) {
        feed_watchdog();
    }
    UART(0x108) = 0;
    return UART(0x518) & 0xFF;
}
