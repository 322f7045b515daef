import { type Command, InvalidArgumentError, Option } from 'commander'
import { SETTINGS, SETTING_NAMES, type Setting, type SettingName, flagOf } from '../server/settings'

const OPTIONS = new Map<SettingName, Option>(SETTING_NAMES.map((name) => [name, optionOf(name)]))

function optionOf(name: SettingName): Option {
  const setting: Setting = SETTINGS[name]
  const standard = setting.default ?? setting.unset
  return new Option(`${flagOf(name)} <value>`, `${setting.meaning} ${name}; default: ${standard}.`).argParser(
    (value: string, before: string | undefined) => {
      if (before !== undefined) throw new InvalidArgumentError('It is given twice.')
      return value
    },
  )
}

/** Gives a command one flag for each name of the configuration. */
export function addSettingFlags(command: Command): Command {
  for (const option of OPTIONS.values()) command.addOption(option)
  return command
}

/** The flags that were given, in the form that `readConfig` reads. */
export function givenSettingFlags(command: Command): readonly string[] {
  const given: Readonly<Record<string, unknown>> = command.opts()
  return [...OPTIONS].flatMap(([name, option]) => {
    const value = given[option.attributeName()]
    return typeof value === 'string' ? [`${flagOf(name)}=${value}`] : []
  })
}
