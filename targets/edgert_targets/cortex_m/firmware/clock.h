/* What runs are measured by: the cycle counter of the debug unit, else SysTick at the core's clock. 32 bits. */
#if EDGERT_TICKS == 1
static void clock_start(void)
{
    DEMCR |= 1u << 24;
    DWT_LAR = 0xC5ACCE55;
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1;
}
static uint32_t clock_now(void) { return DWT_CYCCNT; }
#else
static volatile uint32_t clock_high; /* SysTick has 24 bits; its interrupt counts the rest */

static void clock_interrupt(void) { clock_high++; }

static void clock_start(void)
{
    SYST_RVR = 0xFFFFFF;
    SYST_CVR = 0;
    SYST_CSR = 7;
}

static uint32_t clock_now(void)
{
    uint32_t high, low;
    do {
        high = clock_high;
        low = SYST_CVR;
    } while (high != clock_high);
    return (high << 24) + (0xFFFFFF - low);
}
#endif
