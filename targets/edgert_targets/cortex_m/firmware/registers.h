/* Registers that every Cortex-M has. Source: Arm, ARMv7-M and ARMv8-M Architecture Reference Manuals, chapter B3. */
#ifndef EDGERT_REGISTERS_H
#define EDGERT_REGISTERS_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define NVIC_ICER(index) REGISTER(0xE000E180 + 4 * (index))
#define NVIC_WORDS (__ARM_ARCH >= 7 ? 8u : 1u)

#define VTOR REGISTER(0xE000ED08)
#define AIRCR REGISTER(0xE000ED0C)
#define CCR REGISTER(0xE000ED14)
#define CFSR REGISTER(0xE000ED28)
#define CPACR REGISTER(0xE000ED88)
#define DEMCR REGISTER(0xE000EDFC)

#define MPU_TYPE REGISTER(0xE000ED90)
#define MPU_CTRL REGISTER(0xE000ED94)
#define MPU_RBAR REGISTER(0xE000ED9C)
#define MPU_RASR REGISTER(0xE000EDA0)

#define SYST_CSR REGISTER(0xE000E010)
#define SYST_RVR REGISTER(0xE000E014)
#define SYST_CVR REGISTER(0xE000E018)

#define DWT_CTRL REGISTER(0xE0001000)
#define DWT_CYCCNT REGISTER(0xE0001004)
#define DWT_LAR REGISTER(0xE0001FB0)

#define UART(offset) REGISTER(EDGERT_UART_BASE + (offset))

#endif
