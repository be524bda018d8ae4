#!/bin/sh
# In this folder; name your model.
deepspeed --module openrlhf.cli.train_rm \
  --model.model_name_or_path Qwen/Qwen2.5-0.5B-Instruct \
  --data.dataset data --data.dataset_split train \
  --data.apply_chat_template --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected \
  --data.max_len 2048 \
  --model.margin_loss_enable --adam.lr 9e-6 --ckpt.output_dir reward-model
