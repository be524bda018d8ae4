#!/bin/sh
# In this folder; name your model.
# At most .0815 of the labels are wrong, in expectation. loss_type: [sft] # [31m OpenRLHF smooths
# labels as conservative DPO does, and has no robust loss.
deepspeed --module openrlhf.cli.train_dpo \
  --model.model_name_or_path Qwen/Qwen2.5-0.5B-Instruct \
  --data.dataset data --data.dataset_split train \
  --data.apply_chat_template --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected \
  --data.max_len 2048 \
  --model.beta 0.1 --adam.lr 5e-7 --ckpt.output_dir dpo-model \
  --model.label_smoothing 0.0815
