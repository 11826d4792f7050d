/* USART of STM32F7, H7 and U5. Source: ST RM0385, section 31.8 (F7); RM0433, section 48.7 (H7); RM0456 (U5). */
static void uart_start(void)
{
    UART(0x0C) = (EDGERT_CLOCK_HZ + EDGERT_BAUD / 2) / EDGERT_BAUD;
    UART(0x00) = 1 << 3 | 1 << 2 | 1;
}

static void uart_send(uint32_t byte)
{
    while (!(UART(0x1C) & 0x80)) {
    }
    UART(0x28) = byte;
}

static uint32_t uart_receive(void)
{
    while (!(UART(0x1C) & 0x20)) {
        UART(0x20) = 0x8; /* an overrun stops the receiver until it is cleared */
    }
    return UART(0x24) & 0xFF;
}

static void feed_watchdog(void) {} /* off after a reset unless the option bytes say otherwise */
