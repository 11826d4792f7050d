/* USART of STM32F1, F2 and F4. Source: ST RM0090, section 30.6; the independent watchdog: section 21.4. */
static void uart_start(void)
{
    UART(0x08) = (EDGERT_CLOCK_HZ + EDGERT_BAUD / 2) / EDGERT_BAUD;
    UART(0x0C) = 1 << 13 | 1 << 3 | 1 << 2;
}

static void uart_send(uint32_t byte)
{
    while (!(UART(0x00) & 0x80)) {
    }
    UART(0x04) = byte;
}

static void feed_watchdog(void) { REGISTER(0x40003000) = 0xAAAA; }

static uint32_t uart_receive(void)
{
    while (!(UART(0x00) & 0x20)) {
        feed_watchdog();
    }
    return UART(0x04) & 0xFF;
}
